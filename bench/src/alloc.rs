//! Counts allocations: the system's allocator with a counter before it.
//!
//! The counter is per thread, so that threads in the background (a runtime's, a store's) do not count towards the
//! request that happens to run beside them.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    // `const` and without a destructor: reading it never allocates, and works in a thread that is ending.
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

/// Allocations of this thread so far; a reallocation counts as one.
pub fn count() -> u64 {
    COUNT.with(Cell::get)
}

/// The allocator of this program.
pub struct Counting;

fn one_more() {
    COUNT.with(|count| count.set(count.get().wrapping_add(1)));
}

// SAFETY: every call is passed on unchanged to `System`, which upholds the contract of `GlobalAlloc`; what is done
// besides, counting in a plain thread-local cell, neither allocates, nor unwinds, nor touches the memory in question.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        one_more();
        // SAFETY: the caller's promise about `layout` is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        one_more();
        // SAFETY: the caller's promise about `layout` is passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        one_more();
        // SAFETY: `ptr` came from this allocator, that is from `System`, with `layout`, as the caller promises.
        unsafe { System.realloc(ptr, layout, new_size) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: `ptr` came from this allocator, that is from `System`, with `layout`, as the caller promises.
        unsafe { System.dealloc(ptr, layout) }
    }
}
