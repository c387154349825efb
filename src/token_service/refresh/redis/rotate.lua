-- RefreshFamily::rotate, in Redis. Whatever is read or written here is a string; what is compared is a number.
-- Seconds fit into Lua's numbers.
local key = KEYS[1]
local presented, successor, seed = ARGV[1], ARGV[2], ARGV[3]
local now, grace, margin = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[7])
-- When the family would end if the token is rotated now and not used again.
local idle_until = ARGV[6]

local family = redis.call('HMGET', key,
    'current', 'ends_at', 'idle_until', 'previous', 'rotated_at', 'seed', 'grant')
if redis.call('EXISTS', key) == 0 then
    return {'unknown'}
end
local current, ends_at, grant = family[1], family[2], family[7]
local ends, idle = tonumber(ends_at or ''), tonumber(family[3] or '')
if not (current and ends and idle and grant) then
    return {'unreadable'}
end

if now >= math.min(ends, idle) then
    redis.call('DEL', key)
    return {'expired', grant}
end

if presented == current then
    if tonumber(idle_until) > ends then
        idle_until = ends_at
    end
    redis.call('HSET', key, 'current', successor, 'previous', presented, 'rotated_at', ARGV[4], 'seed', seed,
        'idle_until', idle_until)
    -- At most 300 years: what is too long for Redis would be an error now that the token is rotated.
    local left = math.min(tonumber(idle_until) - now, 1e10)
    redis.call('PEXPIRE', key, string.format('%.0f', left * 1000 + margin))
    return {'rotated'}
end

local previous, rotated_at, kept = family[4], tonumber(family[5] or ''), family[6]
if presented == previous and kept and kept ~= '' then
    if not rotated_at then
        return {'unreadable'}
    end
    if now < rotated_at + grace then
        return {'again', kept}
    end
end

redis.call('DEL', key)
return {'reused', grant}
