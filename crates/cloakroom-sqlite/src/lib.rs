//! See the workspace's README.
