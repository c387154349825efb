-- Adds a revocation, with the next number, and drops those that have ended. Answers whether there was room.
local state, by_number, by_end = KEYS[1], KEYS[2], KEYS[3]
local entry, kept_until, over, at_most = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local left, epoch = tonumber(ARGV[5]), ARGV[6]

local ended = redis.call('ZRANGEBYSCORE', by_end, '-inf', '(' .. over, 'LIMIT', 0, 1000)
if #ended > 0 then
    redis.call('ZREM', by_number, unpack(ended))
    redis.call('ZREM', by_end, unpack(ended))
end
if redis.call('ZCARD', by_end) >= at_most and not redis.call('ZSCORE', by_end, entry) then
    return 0
end

-- Who finds another epoch than before, or a smaller number, knows that Redis has lost something.
redis.call('HSETNX', state, 'epoch', epoch)
local number = redis.call('HINCRBY', state, 'number', 1)
redis.call('ZADD', by_number, number, entry)
redis.call('ZADD', by_end, kept_until, entry)
for _, key in ipairs(KEYS) do
    if redis.call('PTTL', key) < left then
        redis.call('PEXPIRE', key, ARGV[5])
    end
end
return 1
