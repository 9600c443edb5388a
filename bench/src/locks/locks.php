<?php
// The same as `serve.rs` does: one request that reads, and one that holds the session's lock for so many milliseconds.
// Answers with the number, and when it got the lock and began to let go, in microseconds.
if (($_GET['work'] ?? '') === 'read') {
    session_start(['read_and_close' => true]);
    echo $_SESSION['n'] ?? 0, ' 0 0';
    return;
}
session_start();
$held = microtime(true);
$n = ($_SESSION['n'] ?? 0) + 1;
$ms = (int) ($_GET['ms'] ?? 0);
if ($ms > 0) {
    usleep($ms * 1000);
}
$_SESSION['n'] = $n;
$lets_go = microtime(true);
session_write_close();
printf('%d %d %d', $n, $held * 1e6, $lets_go * 1e6);
