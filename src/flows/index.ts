/** Everything that runs is a run: graphs of tasks, who carries them out, when, and what came of them. */
export { flow, task, type Flow, type FlowOptions, type Followed, type Params, type Ref, type Task, type TaskOptions } from './declare.ts'
export type { BackfillPlan, BackfillRequest, Backfills, BackfillView } from './backfills.ts'
export type { TaskContext, Tools } from './context.ts'
export { openFlows, type FlowDetail, type Flows, type FlowView, type Rest, type TriggerRequest } from './flows.ts'
export { openRunEngine, type RunEngine, type RunEngineOptions } from './engine/engine.ts'
export { runMigrations } from './engine/tables.ts'
export type { HeldTask, Json, NewRun, Outcome, Rule, RunGraph, RunNode, RunState } from './engine/words.ts'
export type { RunDetail, RunPage, RunView, TaskView } from './reads.ts'
