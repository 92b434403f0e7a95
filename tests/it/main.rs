//! Everything that needs a real nats-server and a real node, in one binary.

mod attacks;
mod crash;
mod hostile;
mod leaf;
mod lifecycle;
mod messages;
mod vocabulary;
