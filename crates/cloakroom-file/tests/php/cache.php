<?php
// What mini's cache in files does (its FilesystemCache), step by step. FOLDER is defined before this.
final class Cache
{
    public function __construct()
    {
        if (!is_dir(FOLDER)) {
            @mkdir(FOLDER, 0755, true);
        }
    }

    private function path(string $key): string
    {
        return FOLDER . '/' . hash('sha256', 'mini_cache_' . $key);
    }

    public function get(string $key): mixed
    {
        $contents = @file_get_contents($this->path($key));
        $data = $contents === false ? null : @unserialize($contents);
        if (!is_array($data) || !isset($data['value'], $data['expires_at'])) {
            return null;
        }
        if ($data['expires_at'] < time()) {
            @unlink($this->path($key));
            return null;
        }
        return $data['value'];
    }

    public function set(string $key, mixed $value, int $lifetime): void
    {
        $entry = serialize(['value' => $value, 'expires_at' => time() + $lifetime]);
        file_put_contents($this->path($key), $entry, LOCK_EX);
    }

    public function delete(string $key): void
    {
        @unlink($this->path($key));
    }
}
