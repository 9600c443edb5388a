<?php
// A session of an application that does not use PHP's session module, as the page wants it. How it is stored stands before: `fetch`, `store`, `is_id`, `new_id`, and COOKIE.
function redis(): Redis
{
    static $redis = null;
    if ($redis === null) {
        $server = parse_url(ini_get('session.save_path'));
        $redis = new Redis();
        $redis->connect($server['host'], $server['port']);
    }
    return $redis;
}

function start()
{
    global $id, $before;
    $id = $_COOKIE[COOKIE] ?? '';
    $_SESSION = [];
    if (is_id($id)) {
        lock($id);
        $_SESSION = fetch($id);
    } else {
        $id = new_id();
        lock($id);
    }
    $before = serialize($_SESSION);
}

function change_id()
{
    global $id;
    $old = $id;
    $id = new_id();
    lock($id);
    store($id, $_SESSION);
    drop($old);
    unlock($old);
}

function log_out()
{
    global $id;
    drop($id);
    setcookie(COOKIE, '');
    unlock($id);
}

function finish()
{
    global $id, $before;
    if (serialize($_SESSION) !== $before) {
        store($id, $_SESSION);
    }
    if ($_SESSION !== []) {
        setcookie(COOKIE, $id);
    }
    unlock($id);
}
