-- Removes keys. KEYS: which. Returns how many there were.

return redis.call('UNLINK', unpack(KEYS))
