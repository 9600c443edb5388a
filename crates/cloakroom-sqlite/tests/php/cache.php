<?php
// What mini's cache on SQLite does (its TmpSqliteCache), step by step. FILE is defined before this.
final class Cache
{
    private PDO $pdo;

    public function __construct()
    {
        $this->pdo = new PDO('sqlite:' . FILE);
        $this->pdo->setAttribute(PDO::ATTR_ERRMODE, PDO::ERRMODE_EXCEPTION);
        $this->pdo->exec("CREATE TABLE IF NOT EXISTS cache (key TEXT PRIMARY KEY, value TEXT NOT NULL, expires_at INTEGER, created_at INTEGER DEFAULT (strftime('%s', 'now')))");
        $this->pdo->exec('CREATE INDEX IF NOT EXISTS idx_cache_expires_at ON cache (expires_at)');
    }

    public function get(string $key): mixed
    {
        $found = $this->pdo->prepare('SELECT value, expires_at FROM cache WHERE key = ?');
        $found->execute([$key]);
        $row = $found->fetch(PDO::FETCH_ASSOC);
        $found->closeCursor();
        if (!$row || ($row['expires_at'] !== null && $row['expires_at'] < time())) {
            return null;
        }
        return unserialize($row['value']);
    }

    public function set(string $key, mixed $value, int $lifetime): void
    {
        $store = $this->pdo->prepare('INSERT OR REPLACE INTO cache (key, value, expires_at, created_at) VALUES (?, ?, ?, ?)');
        $store->execute([$key, serialize($value), time() + $lifetime, time()]);
    }

    public function delete(string $key): void
    {
        $this->pdo->prepare('DELETE FROM cache WHERE key = ?')->execute([$key]);
    }
}
