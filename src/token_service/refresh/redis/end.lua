-- Deletes a family, and answers with it.
local found = redis.call('TYPE', KEYS[1]).ok == 'string' and redis.call('GET', KEYS[1])
redis.call('DEL', KEYS[1])
return found
