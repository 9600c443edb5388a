//! Several processes of ours on PHP's files, and one that may not list them.

use super::*;

/// Where the children begin. On its own it has nothing to do.
#[test]
fn child_process() {
    let Some((what, dir)) = role() else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().worker_threads(2).build().unwrap();
    runtime.block_on(async {
        let service = Service::on(&dir, Mode::Merge).await;
        match what.as_str() {
            "increments" => {
                for _ in 0..25 {
                    service
                        .visit(ID, async |session| {
                            session.update("n", |n: Option<i64>| n.unwrap_or(0) + 1).await.unwrap();
                        })
                        .await;
                    tell("added");
                }
            }
            "not listable" => {
                assert_eq!(std::fs::read_dir(&dir).unwrap_err().kind(), std::io::ErrorKind::PermissionDenied);
                service.php_writes(ID, "n|i:1;");
                service.visit(ID, async |session| session.put("n", 2).await.unwrap()).await;
                assert_eq!(service.value(ID).as_deref(), Some("n|i:2;"));
                let handle = service.request(ID);
                handle.open().await.unwrap().regenerate().await.unwrap();
                let id = service.close(&handle).await.unwrap().unwrap();
                assert_eq!(service.value(ID), None);
                assert_eq!(service.n(&id).await, Some(2));
                assert!(!service.store.purge(100).await.unwrap().more);
                service.visit(&id, async |session| session.destroy().await.unwrap()).await;
                assert_eq!(service.value(&id), None);
                tell("fine");
            }
            other => panic!("no such part: {other}"),
        }
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c1_increments_by_several_processes_and_phps_are_exact_though_one_is_killed() {
    for round in 0..rounds(2, 10) {
        let dir = place();
        let service = Service::on(dir.path(), Mode::Merge).await;
        service.php_writes(ID, "n|i:0;");
        let mut children: Vec<_> = (0..4)
            .map(|_| command(&[], "processes::child_process", "increments", dir.path()).spawn().unwrap())
            .collect();
        let path = service.file(ID);
        let php = std::thread::spawn(move || {
            for _ in 0..50 {
                let php = Php::begins(&path);
                let read = php.reads();
                let n: i64 = read.strip_prefix("n|i:").unwrap().trim_end_matches(';').parse().unwrap();
                std::thread::sleep(Duration::from_millis(1));
                php.ends(&format!("n|i:{};", n + 1));
                std::thread::sleep(Duration::from_millis(3));
            }
        });
        let mut victim = children.pop().unwrap();
        let mut lines = told(&mut victim);
        let before = lines.by_ref().take(3 + round).count();
        victim.kill().unwrap();
        let acked = before + lines.count();
        victim.wait().unwrap();
        for mut child in children {
            assert_eq!(told(&mut child).count(), 25);
            assert!(child.wait().unwrap().success());
        }
        php.join().unwrap();
        // Of the one that was killed, what it told is there, and perhaps what it was about to tell.
        let of_victim = service.n(ID).await.unwrap() - 50 - 3 * 25 - acked as i64;
        assert!((0..=1).contains(&of_victim), "{of_victim} more than the {acked} that it told");
    }
}

/// As Debian has it: mode 1733, root's. Everybody can use a session whose name they know, and nobody can list them.
#[test]
fn a_directory_that_cannot_be_listed_serves_all_the_same() {
    // Somebody else has to get there, which nobody does in a temporary folder that is this user's own.
    let outside = tempfile::tempdir_in("/tmp").unwrap();
    std::fs::set_permissions(outside.path(), Permissions::from_mode(0o755)).unwrap();
    let dir = outside.path().join("sessions");
    std::fs::create_dir(&dir).unwrap();
    // Its owner is this user, who may list it unless the mode says otherwise.
    std::fs::set_permissions(&dir, Permissions::from_mode(0o1333)).unwrap();
    let mut child = if nix_is_root() {
        // Root may list anything. Somebody else runs a copy of this program.
        let program = outside.path().join("program");
        std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
        std::fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
        let template = command(&[], "processes::child_process", "not listable", &dir);
        let mut copy = std::process::Command::new(program);
        copy.args(template.get_args())
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::piped());
        for (name, value) in template.get_envs() {
            copy.env(name, value.unwrap());
        }
        copy.uid(65_534).gid(65_534).current_dir("/").env("TMPDIR", "/tmp");
        copy
    } else {
        command(&[], "processes::child_process", "not listable", &dir)
    };
    let mut child = child.spawn().unwrap();
    assert_eq!(told(&mut child).collect::<Vec<_>>(), ["fine"]);
    assert!(child.wait().unwrap().success());
    std::fs::set_permissions(&dir, Permissions::from_mode(0o700)).unwrap();
}
