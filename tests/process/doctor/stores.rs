//! The store, seen from outside.

use super::{House, complaints, examined, found};
use crate::{
    postgres_server, redis_server,
    support::{messages, program::Program, skipped},
};

/// What is said of the store.
fn of_store(program: &Program) -> String {
    let ended = examined(program, &["--json", "--org"]);
    ["store", "store_schema", "store_room", "store_encryption"].map(|check| found(&ended, check)).concat()
}

#[test]
fn a_store_is_read_beside_the_service_and_left_alone() {
    let house = House::new();
    let none = of_store(&house.program);
    assert!(none.contains("there is no store yet") && !house.home.store().exists(), "{none}");
    let service = house.serve();
    assert_eq!(service.post(&messages::report(&messages::new_call())).status, 200);
    let beside = of_store(&house.program);
    assert!(beside.contains("a running service works on it") && beside.contains("up to date"), "{beside}");
    assert!(beside.contains("stored in clear"), "{beside}");
    service.is_well();
    service.stop();
    let alone = of_store(&house.program);
    assert!(alone.contains("no service works on it"), "{alone}");
    house.serve().stop();
}

#[test]
fn a_store_without_a_folder_can_not_be_made() {
    let house = House::new();
    house.home.write("file", "no folder");
    for (url, why) in [("sqlite:no/such/ringback.db", "does not exist"), ("sqlite:file/ringback.db", "is no folder")] {
        let program = house.program.clone().set("DATABASE_URL", url);
        let ended = examined(&program, &["--json", "--org"]);
        let told = found(&ended, "store");
        assert!(ended.code == 1 && told.contains("\"error\"") && told.contains(why), "{url}: {told}");
        assert_eq!(program.run().code, 78, "and `serve` does not start: {url}");
    }
}

#[test]
fn a_store_that_another_program_holds_is_found() {
    let house = House::new();
    Program::in_home(&house.home).with(["migrate"]).run();
    let db = rusqlite::Connection::open(house.home.store()).expect("the file opens");
    db.execute_batch("PRAGMA locking_mode = EXCLUSIVE; BEGIN IMMEDIATE; INSERT INTO meta (key, value) VALUES ('x', x'00'); ROLLBACK;")
        .expect("it can be held");
    let held = of_store(&house.program);
    assert!(held.contains("error") && held.contains("locked"), "{held}");
    drop(db);
    assert!(of_store(&house.program).contains("up to date"));
}

#[test]
fn a_schema_that_is_behind_stops_only_those_who_do_not_migrate() {
    let house = House::new();
    let service = house.serve();
    let set = |version: i64| {
        let db = rusqlite::Connection::open(house.home.store()).expect("the file opens");
        db.pragma_update(None, "user_version", version).expect("it can be written");
    };
    set(2_001);
    let auto = house.doctor(&["--json"]);
    assert_eq!((auto.code, complaints(&auto)), (0, vec!["warning store_schema".to_owned()]), "{}", auto.stdout);
    let check = examined(&house.program.clone().set("MIGRATE", "check"), &["--json"]);
    assert_eq!((check.code, complaints(&check)), (1, vec!["error store_schema".to_owned()]), "{}", check.stdout);
    assert!(found(&check, "store_schema").contains("ringback migrate"), "{}", check.stdout);
    set(3_001);
    let newer = house.doctor(&["--json"]);
    assert_eq!((newer.code, complaints(&newer)), (1, vec!["error store_schema".to_owned()]), "{}", newer.stdout);
    service.kill();
}

#[test]
fn what_is_no_store_is_found_and_left_alone() {
    let house = House::new();
    let other = house.home.write("other.db", "This is a text, and no store.\n".repeat(200));
    let told = of_store(&house.program.clone().set("DATABASE_URL", "sqlite:other.db"));
    assert!(told.contains("no SQLite file"), "{told}");
    assert!(std::fs::read_to_string(other).expect("it is there").starts_with("This is a text"));
    let memory = of_store(&house.program.clone().set("DATABASE_URL", "memory:"));
    assert!(memory.contains("in memory only"), "{memory}");
}

#[test]
fn servers_are_looked_at_too() {
    let house = House::new();
    let nobody = of_store(&house.program.clone().set("DATABASE_URL", "postgres://me:hunter2@127.0.0.1:1/db"));
    assert!(nobody.contains("error") && !nobody.contains("hunter2"), "{nobody}");
    let mut places = Vec::new();
    let postgres = postgres_server::Server::start_with("fast");
    if let Some(server) = &postgres {
        server.create("examined");
        places.push(postgres_server::url_of("examined", server.port));
    }
    let redis = redis_server::Server::start(&[]);
    places.extend(redis.as_ref().map(|server| redis_server::url_of(0, server.port)));
    if postgres.is_none() || redis.is_none() {
        skipped("there is no PostgreSQL or no Redis here: the doctor's look at servers is not wholly shown");
    }
    for place in places {
        let program = house.program.clone().set("DATABASE_URL", &place);
        let empty = of_store(&program);
        assert!(!empty.contains("\"error\""), "{place}: {empty}");
        let service = program.serve();
        let ended = examined(&program, &["--json"]);
        assert_eq!((ended.code, complaints(&ended)), (0, Vec::new()), "{place}: {}", ended.stdout);
        service.is_well();
        service.stop();
    }
}
