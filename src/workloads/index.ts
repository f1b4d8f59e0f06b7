/** Workloads: batches that are asked for over the API, kept, run by the run engine, their results in tables of the lake. */
export { openWorkloads, type PythonBatch, type Workload, type WorkloadKind, type WorkloadRequest, type Workloads } from './workloads.ts'
export { workloadMigrations } from './store.ts'
