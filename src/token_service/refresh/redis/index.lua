-- Lists a family in an index, up to a time. KEYS[1] is the index; ARGV[1] the id of the family; ARGV[2] until when it
-- is listed, in seconds; ARGV[3] what is listed until before then is over; ARGV[4] how long the index is kept at
-- least, in milliseconds. Answers with how many are listed.
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', '(' .. ARGV[3])
redis.call('ZADD', KEYS[1], ARGV[2], ARGV[1])
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[4]) then
    redis.call('PEXPIRE', KEYS[1], ARGV[4])
end
return redis.call('ZCARD', KEYS[1])
