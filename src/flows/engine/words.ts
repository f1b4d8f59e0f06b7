/** The words of the run engine: what is asked of it and what it hands out. */

export type RunState = 'queued' | 'running' | 'succeeded' | 'failed' | 'cancelled'

export type TaskState = 'waiting' | 'delayed' | 'ready' | 'held' | 'running' | 'deferred' | 'expanded' | 'succeeded' | 'failed' | 'skipped' | 'cancelled'

/** When a task runs, by what became of those before it. */
export type Rule = 'all_succeeded' | 'none_failed' | 'all_done'

export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json }

/** The shape of a run. It has no circle: every edge goes from a lower to a higher node. */
export interface RunGraph {
  readonly flow: string
  readonly nodes: readonly RunNode[]
  /** From and to, as places in `nodes`. */
  readonly edges: readonly (readonly [number, number])[]
}

export interface RunNode {
  readonly name: string
  /** What the screens show of it: the kind of its body, where it stands. Not read by the engine. */
  readonly about: { readonly [key: string]: Json }
  readonly pool: string
  readonly priority: number
  readonly rule: Rule
  readonly optional: boolean
}

export interface NewRun {
  readonly id: string
  readonly kind: string
  readonly flow: string
  /** What `register` answered. */
  readonly graph: string
  readonly params: Json
  readonly trigger: { readonly [key: string]: Json }
  readonly priority?: number | undefined
  /** What it is about, such as a workload. */
  readonly subject?: string | undefined
  /** A second run of the flow with the same key is the first one. */
  readonly key?: string | undefined
  readonly backfill?: string | undefined
  readonly partition?: string | undefined
  /** The task that waits for it. */
  readonly parent?: { readonly run: string; readonly task: number } | undefined
}

/** A task in the hands of this worker. */
export interface HeldTask {
  readonly run: string
  readonly n: number
  readonly node: number
  /** The element of a node that maps over a list. */
  readonly itemIndex: number | null
  readonly item: Json
  /** Counts how often it was handed out; names this try for good. */
  readonly fence: number
  /** Counts from 1; a try that was lost with its worker is not counted. */
  readonly attempt: number
  /** It was deferred and goes on. */
  readonly resumed: boolean
  readonly child: string | null
  /** Since this attempt began, the time that it was deferred included. */
  readonly ageMs: number
  readonly flow: string
  readonly kind: string
  readonly graph: string
  readonly params: Json
  readonly partition: string | null
  readonly trigger: { readonly [key: string]: Json }
  /** What the nodes right before it answered, by their place. */
  readonly inputs: { readonly [node: string]: Json }
}

/** How far a task says it is. */
export interface Progress {
  readonly done: number
  /** Null when it does not know how much there is. */
  readonly total: number | null
}

export interface TaskError {
  readonly code: string
  readonly kind: string
  readonly message: string
  readonly hint?: string | undefined
}

export type Outcome =
  /** `chosen` are the nodes that a branch goes on to; the others behind it are skipped. */
  | { readonly outcome: 'succeeded'; readonly output?: Json | undefined; readonly chosen?: readonly number[] | undefined }
  | { readonly outcome: 'failed'; readonly error: TaskError }
  | { readonly outcome: 'retry'; readonly error: TaskError; readonly retryMs: number }
  /** It is looked at again later, or when another run has ended. The attempt goes on. */
  | { readonly outcome: 'deferred'; readonly readyMs: number }
  | { readonly outcome: 'deferred'; readonly child: string }
  /** It becomes one task for each element, and is over when they are; what they answered, in their order, is its output. */
  | { readonly outcome: 'expanded'; readonly items: readonly Json[] }
  | { readonly outcome: 'cancelled' }
  /** Given back untried. */
  | { readonly outcome: 'released' }
