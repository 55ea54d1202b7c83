// As started.c, in Rust.
use std::cell::RefCell;
use std::collections::HashMap;
use std::thread;

extern "C" {
    fn atexit(function: extern "C" fn()) -> i32;
}
extern "C" fn leave() {
    println!("leave");
}
extern "C" fn begin(count: i32, _words: *const *const u8, _names: *const *const u8) {
    println!("begin {}", count);
}
#[used]
#[link_section = ".init_array"]
static BEGIN: extern "C" fn(i32, *const *const u8, *const *const u8) = begin;
thread_local!(static NAME: RefCell<String> = RefCell::new("mine".into()));
struct Guard;
impl Drop for Guard {
    fn drop(&mut self) {
        println!("dropped")
    }
}
fn main() {
    unsafe { atexit(leave) };
    let words: Vec<String> = std::env::args().collect();
    println!("main {:?} {:?}", &words[1..], std::env::var("MARK"));
    let worker = thread::spawn(|| {
        NAME.with(|name| name.borrow_mut().push_str(" too"));
        NAME.with(|name| name.borrow().clone())
    });
    println!("thread {}", worker.join().unwrap());
    std::panic::set_hook(Box::new(|_| {}));
    let result = std::panic::catch_unwind(|| {
        let _guard = Guard;
        panic!("oops")
    });
    println!("panic {}", result.is_err());
    let map: HashMap<_, _> = [("a", 1)].into();
    println!("map {:?} {}", map, std::fs::metadata("/").unwrap().is_dir());
    println!("spawn {}", std::process::Command::new("/missing/program").output().is_err());
    std::process::exit(7);
}
