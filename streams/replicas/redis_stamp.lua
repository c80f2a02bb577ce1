-- Puts tokens beside values that are still what was read, in one step with the comparison. Touches no value.
--
-- KEYS: for each row its value key and its token key. ARGV: for each its token and the value that was read.
-- Returns those that got no token, flat: number, outcome, stored token ("" for none).

local sets, refused = {}, {}
for number = 1, #KEYS / 2 do
  local key, token_key = KEYS[2 * number - 1], KEYS[2 * number]
  local token, content = ARGV[2 * number - 1], ARGV[2 * number]
  local found = redis.call('MGET', key, token_key)
  local stored, outcome = token_of(found[2]), nil
  if found[1] ~= content then outcome = 'conflict'
  elseif stored == token then outcome = 'duplicate'
  elseif stored ~= '' and not smaller(stored, token) then outcome = 'stale' end
  if outcome then
    for _, part in ipairs({number, outcome, stored}) do refused[#refused + 1] = part end
  else
    sets[#sets + 1], sets[#sets + 2] = token_key, token
  end
end
if #sets > 0 then redis.call('MSET', unpack(sets)) end
return refused
