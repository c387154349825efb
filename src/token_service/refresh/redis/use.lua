-- Uses something once. KEYS[1] is what is used; ARGV[1] who uses it, so that whoever asks again because an answer was
-- lost is not taken for another; ARGV[2] for how long that is known, in milliseconds. Answers whether it is the first.
local found = redis.call('GET', KEYS[1])
if found then
    return found == ARGV[1] and 1 or 0
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
