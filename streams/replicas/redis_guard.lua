-- The guard: writes each row whose token is larger than the stored one, in one step with the comparison.
--
-- KEYS: for each write its value key and its token key.
-- ARGV: [1] milliseconds a deleted row's token is kept, [2] "-" to go by the order, or for repairs the token the store
--       must still hold ("" for none); then for each write its token and its content ("" is a delete).
-- Returns the writes that did not take place, flat: number, outcome, stored token ("" for none); so mostly nothing.

local retention, expected = ARGV[1], ARGV[2]

local function may_write(stored, token)
  if expected ~= '-' then return stored == expected end
  return stored == '' or smaller(stored, token)
end

local function holds(key, content)
  local found = redis.call('MGET', key)[1]
  if content == '' then return not found and redis.call('EXISTS', key) == 0 end
  return found == content
end

local function outcome(key, stored, token, content)
  if stored ~= token then return 'stale' end
  return holds(key, content) and 'duplicate' or 'conflict'
end

local token_keys = {}
for at = 2, #KEYS, 2 do token_keys[#token_keys + 1] = KEYS[at] end
-- MGET answers nil for a key of another type instead of failing; MSET replaces a key of any type.
local tokens = redis.call('MGET', unpack(token_keys))

local sets, refused = {}, {}
for number, token_key in ipairs(token_keys) do
  local key, token, content = KEYS[2 * number - 1], ARGV[2 * number + 1], ARGV[2 * number + 2]
  local stored = token_of(tokens[number])
  if not may_write(stored, token) then
    for _, part in ipairs({number, outcome(key, stored, token, content), stored}) do refused[#refused + 1] = part end
  elseif content == '' then
    redis.call('SET', token_key, token, 'PX', retention)
    redis.call('UNLINK', key)
  else
    for _, part in ipairs({key, content, token_key, token}) do sets[#sets + 1] = part end
  end
end
if #sets > 0 then redis.call('MSET', unpack(sets)) end
return refused
