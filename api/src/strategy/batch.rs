//! The workloads of the group `batch`.
//!
//! Source: k8s.io/kubernetes/pkg/apis/batch/validation and pkg/apis/batch/v1/defaults.go.

pub(crate) mod cron_job;
mod indexes;
pub(crate) mod job;
mod job_spec;
mod job_status;
mod policy;

#[cfg(test)]
mod tests;
