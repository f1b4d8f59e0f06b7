/** Alerts: rules over streams, the episodes they find, and the queues they tell. */
export {
  alert,
  cel,
  queue,
  type Alert,
  type AlertMode,
  type AlertOptions,
  type CelText,
  type Condition,
  type QueueRoute,
  type Route,
  type RuleStream,
  type Severity,
} from './declare.ts'
export { compileRule, compileRules, type CompiledRule } from './compile.ts'
export { describeAlerts } from './describe.ts'
export { checkCondition } from './cel/check.ts'
export { createEvaluator, evaluate, STRETCH, type Evaluator } from './cel/evaluate.ts'
export { FALSE, TRUE, UNKNOWN } from './cel/outcomes.ts'
export { limitsOf, type Expression, type Limit } from './cel/expression.ts'
export { advance, type Episode, type EpisodeRule, type Reading, type Step } from './episodes.ts'
export {
  createRuleSet,
  RuleStates,
  takeReadings,
  type AlertChange,
  type AlertRecord,
  type EndReason,
  type Outcome,
  type OutboxMessage,
  type ReadingBatch,
  type RuleSet,
  type StateChange,
} from './step.ts'
export type { JsonScalar } from './values.ts'

export { openAlerts, type Alerts, type AlertsOptions } from './alerts.ts'
export { createAlertSink, type AlertCommit, type AlertSinkOptions } from './sink.ts'
export { startRelay, type Relay, type RelayOptions } from './outbox.ts'
export type { Silence, SilenceOptions } from './silences.ts'
export { alertMigrations, syncRules, trimAlerts } from './store.ts'
export { type AlertFilter, type AlertPage, type AlertState, type AlertTotals, type AlertView, type Delivery, type RuleView } from './reads.ts'

export type { Queue, QueueCapabilities, QueueMessage } from './queue/port.ts'
export { openPostgresQueue, queueMigrations, type PostgresQueueOptions } from './queue/postgres.ts'
export { openRabbitQueue, type RabbitQueueOptions } from './queue/rabbitmq.ts'
