-- Reads the revocations after a number, and how far the numbers are.
local state = redis.call('HMGET', KEYS[1], 'epoch', 'number')
local entries = redis.call('ZRANGEBYSCORE', KEYS[2], '(' .. ARGV[1], '+inf', 'WITHSCORES', 'LIMIT', 0, ARGV[2])
return {state[1] or '', state[2] or '0', entries}
