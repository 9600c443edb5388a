<?php
// phpredis 6 compresses by itself (redis.session.compression). An older one is made to by its client, which has had the same compression
// for longer than its session handler: COMPRESSION tells which.
final class CompressingHandler extends SessionHandler implements SessionUpdateTimestampHandlerInterface
{
    private const PREFIX = 'PHPREDIS_SESSION:';
    private Redis $redis;

    public function open(string $path, string $name): bool
    {
        $this->redis = new Redis();
        $server = parse_url($path);
        return $this->redis->connect($server['host'], $server['port'])
            && $this->redis->setOption(Redis::OPT_COMPRESSION, constant('Redis::COMPRESSION_' . strtoupper(COMPRESSION)));
    }

    public function validateId(string $id): bool
    {
        return (bool) $this->redis->exists(self::PREFIX . $id);
    }

    public function read(string $id): string|false
    {
        return (string) $this->redis->get(self::PREFIX . $id);
    }

    public function write(string $id, string $data): bool
    {
        return $this->redis->setex(self::PREFIX . $id, (int) ini_get('session.gc_maxlifetime'), $data);
    }

    public function updateTimestamp(string $id, string $data): bool
    {
        return $this->redis->expire(self::PREFIX . $id, (int) ini_get('session.gc_maxlifetime'));
    }

    public function destroy(string $id): bool
    {
        $this->redis->del(self::PREFIX . $id);
        return true;
    }

    public function close(): bool
    {
        return $this->redis->close();
    }

    public function gc(int $lifetime): int|false
    {
        return 0;
    }
}

function start()
{
    if (version_compare(phpversion('redis'), '6', '<')) {
        session_set_save_handler(new CompressingHandler(), true);
    } else {
        ini_set('session.save_handler', 'redis');
    }
    session_start();
}
