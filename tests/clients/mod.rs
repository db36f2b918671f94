//! The clients in `examples/client`: each is checked and tested by its own tools, against a real service.

mod javascript;
