/** Processing of data sets by users' Python: what stands behind `POST /process`, and the one way to the sandbox for all who run Python. */
export { factsOf, formatOf, openProcessing, PROCESS_POOL, type JobEvent, type Processing, type ProcessRequest } from './jobs.ts'
export { processMigrations, type JobFilter, type ProcessStatus, type StoredJob } from './store.ts'
export { faultOf, openWalled, type Walled, type WalledJob } from './walled.ts'
export { createWebhookSender, isSecret } from './webhooks.ts'
