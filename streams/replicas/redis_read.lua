-- Values and tokens of some rows as they stand together at one moment.
--
-- KEYS: for each row its value key and its token key. ARGV: [1] "allowed" where a row may expire.
-- Returns what each key holds: a string, nil when there is none, {type} when it is no string; {'string', 'expires'} for a
-- value that will be gone by itself where none may. (Tokens of deleted rows do.)

local found = redis.call('MGET', unpack(KEYS))
for at, key in ipairs(KEYS) do
  if not found[at] then
    local kind = redis.call('TYPE', key).ok
    if kind ~= 'none' then found[at] = {kind} end
  elseif ARGV[1] ~= 'allowed' and at % 2 == 1 and redis.call('PTTL', key) >= 0 then
    found[at] = {'string', 'expires'}
  end
end
return found
