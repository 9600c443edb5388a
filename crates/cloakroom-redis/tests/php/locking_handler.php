<?php
// What 1ma/RedisSessionHandler and PhalconSessionRedis send to Redis, command by command: PREFIX, LIFETIME and LOOKS_BEFORE_WRITING tell which.
final class LockingHandler extends SessionHandler implements SessionUpdateTimestampHandlerInterface
{
    private Redis $redis;
    private array $fresh = [];
    private array $locked = [];

    public function open(string $path, string $name): bool
    {
        $this->redis = new Redis();
        $server = parse_url($path);
        return $this->redis->connect($server['host'], $server['port']);
    }

    public function create_sid(): string
    {
        $id = parent::create_sid();
        $this->fresh[$id] = true;
        return $id;
    }

    // Always strict.
    public function validateId(string $id): bool
    {
        return (bool) $this->redis->exists(PREFIX . $id);
    }

    // Without an owner, and without an end to the patience.
    public function read(string $id): string|false
    {
        $options = ['nx'];
        if ((int) ini_get('max_execution_time') > 0) {
            $options['ex'] = (int) ini_get('max_execution_time');
        }
        for ($wait = 1000; !$this->redis->set(PREFIX . $id . '_lock', '', $options); $wait = min(2 * $wait, 128000)) {
            usleep($wait);
        }
        $this->locked[] = $id;
        return isset($this->fresh[$id]) ? '' : (string) $this->redis->get(PREFIX . $id);
    }

    public function write(string $id, string $data): bool
    {
        if (LOOKS_BEFORE_WRITING && !isset($this->fresh[$id]) && !$this->redis->exists(PREFIX . $id)) {
            return true;
        }
        return $this->redis->setex(PREFIX . $id, LIFETIME, $data);
    }

    public function updateTimestamp(string $id, string $data): bool
    {
        return $this->write($id, $data);
    }

    public function destroy(string $id): bool
    {
        $this->redis->del(PREFIX . $id);
        $this->redis->del(PREFIX . $id . '_lock');
        return true;
    }

    public function close(): bool
    {
        foreach ($this->locked as $id) {
            $this->redis->del(PREFIX . $id . '_lock');
        }
        $this->locked = [];
        $this->redis->close();
        return true;
    }

    public function gc(int $lifetime): int|false
    {
        return 0;
    }
}

function start()
{
    session_set_save_handler(new LockingHandler(), true);
    session_start();
}
