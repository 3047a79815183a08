//! Kinds of `apiextensions.k8s.io`.

mod conversion;
mod custom_resource_definition;
mod names;
mod versions;

pub(crate) use custom_resource_definition::CustomResourceDefinition;

#[cfg(test)]
mod tests;
