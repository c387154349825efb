-- Enters a family into the index of its client, by when it ends. Answers with the families that are too many,
-- those first that end first.
local key, id, ends_at = KEYS[1], ARGV[1], ARGV[2]
local over, left, at_most = ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
redis.call('ZREMRANGEBYSCORE', key, '-inf', '(' .. over)
redis.call('ZADD', key, ends_at, id)
if redis.call('PTTL', key) < left then
    redis.call('PEXPIRE', key, ARGV[4])
end
local too_many = redis.call('ZCARD', key) - at_most
if too_many <= 0 then
    return {}
end
return redis.call('ZRANGE', key, 0, math.min(too_many, 100) - 1)
