/** Everything that runs is a run: graphs of tasks, who carries them out, when, and what came of them. */
export { openRunEngine, type RunEngine, type RunEngineOptions, type StopReason } from './engine/engine.ts'
export { runMigrations } from './engine/tables.ts'
export type { HeldTask, Json, NewRun, Outcome, Rule, RunGraph, RunNode, RunState, TaskError, TaskState } from './engine/words.ts'
