/**
 * Users' Python behind walls. One door for everything that runs it: `POST /process`, models of tables, tasks of flows, workloads.
 *
 * A job is a function `process(df)` over one data set that gives one Parquet file. Nothing of it runs in this process, and nothing that it
 * sends back is trusted: the result is decoded and written as Parquet by a second walled process that never saw the user's code.
 *
 * Isolation: a job sees no network, no file of the host, no other process, no other job and nothing of an earlier one. It cannot start
 * programs, outlive its job, or use more time, memory, log or output than its limits. The walls hold without the validator, which is there
 * for good messages.
 *
 * Ordering: none between jobs. At most `capacity` run at a time; more wait in the order of their arrival, each tenant in its turn, and a
 * bound on the waiting refuses the rest with kind `limit`.
 *
 * Failure: whatever the user's code does is a `JobResult` with a status, never a rejection. `run` rejects only for us: the input is not
 * there (`missing`), the sandbox refuses or is gone (`unavailable`, with the fix), too many wait (`limit`), the signal aborted.
 *
 * Closing: `close` ends every job and leaves no process, mount, file or cgroup.
 */
export interface Sandbox {
  /** What holds and what is missing, as the probe at the start found by trying. */
  readonly state: SandboxState
  run(job: Job, options: RunJobOptions): Promise<JobResult>
  /** What the validator says of a code; an empty list is an honest code. Never runs any of it. */
  validate(code: string): Promise<readonly Finding[]>
  close(): Promise<void>
}

export type SandboxState =
  | { readonly ready: true; readonly layers: Layers; readonly environment: PythonEnvironment }
  /** Jobs are refused with this; the rest of the platform runs. */
  | { readonly ready: false; readonly code: string; readonly message: string; readonly hint: string }

/** The walls that stand. Each is tried at the start, not read from a version. */
export interface Layers {
  readonly user: 'unprivileged' | 'none'
  readonly namespaces: 'bubblewrap' | 'none'
  readonly seccomp: boolean
  /** Who bounds the memory of a job as a whole: a control group, or a watchdog that reads it beside the address-space limit. */
  readonly memory: 'cgroup2' | 'cgroup1' | 'watchdog'
  readonly validator: boolean
}

export interface PythonEnvironment {
  /** Of the locked packages and the interpreter; part of every result. */
  readonly hash: string
  readonly python: string
  readonly packages: Readonly<Record<string, string>>
  /** `locked` has exactly the hashes of the lock; `system` is what the distribution has. */
  readonly source: 'locked' | 'system'
}

export interface Job {
  /** Jobs of different tenants share no process. */
  readonly tenant: string
  readonly code: string
  readonly input: JobInput
  /** Further data sets, which `process` gets as DataFrames by these names: at most sixteen. */
  readonly inputs?: Readonly<Record<string, JobInput>> | undefined
  /** JSON values, which `process` gets by these names. */
  readonly arguments?: Readonly<Record<string, unknown>> | undefined
  /** An absolute path of ours that does not exist yet; it exists only after success. */
  readonly output: string
  readonly limits: JobLimits
}

export interface JobInput {
  /** A file that this process may read. */
  readonly path: string
  readonly format: 'csv' | 'json' | 'parquet'
  /** Names these very bytes; inputs of the same name are decoded once and kept for a while. Null decodes each time. */
  readonly key: string | null
}

export interface JobLimits {
  readonly wallMs: number
  readonly cpuMs: number
  readonly memoryBytes: number
  readonly outputBytes: number
  readonly logBytes: number
}

export interface RunJobOptions {
  readonly signal: AbortSignal
  /** Called for each line that the code prints, as it comes and within `logBytes`. */
  readonly onLog?: ((line: string) => void) | undefined
  readonly onPhase?: ((phase: Phase) => void) | undefined
}

export type Phase = 'queued' | 'decoding' | 'validating' | 'running' | 'encoding'

export type JobStatus = 'success' | 'rejected' | 'error' | 'timeout' | 'memory' | 'output_too_large' | 'killed'

export interface JobResult {
  readonly status: JobStatus
  /** Null unless it succeeded. */
  readonly rows: number | null
  readonly columns: readonly ResultColumn[] | null
  /** The first rows, as JSON can say them. */
  readonly preview: readonly (readonly unknown[])[]
  /** What went wrong, in words for the writer of the code; null on success. */
  readonly message: string | null
  /** In the user's own code, counted from 1. */
  readonly line: number | null
  /** The user's own frames and the error, without any of ours. */
  readonly traceback: string | null
  readonly findings: readonly Finding[]
  readonly log: string
  readonly logTruncated: boolean
  readonly peakMemoryBytes: number | null
  readonly cpuMs: number | null
  readonly timings: Readonly<Record<Phase, number>>
  /** `PythonEnvironment.hash`. */
  readonly environment: string
}

export interface ResultColumn {
  readonly name: string
  /** As Parquet and Arrow call it: int64, double, string, timestamp[us, tz=UTC], list<double>, ... */
  readonly type: string
}

/** Positions are of the user's text; lines count from 1, columns from 0, ends are exclusive. */
export interface Finding {
  readonly code: string
  readonly line: number
  readonly col: number
  readonly end_line: number
  readonly end_col: number
  readonly message: string
  readonly hint: string | null
}
