/** What a project imports from 'lagoa'. */
export { t, type Field, type FieldType, type RecordOf, type Schema } from './base/index.ts'
export {
  stream,
  csv,
  simulate,
  type CsvOptions,
  type SimulationOptions,
  type SimulationSettings,
  type Source,
  type SourceBatch,
  type SourceContext,
  type KeptForm,
  type KeptObjects,
  type KeptRecord,
  type Live,
  type Stream,
  type StreamOptions,
} from './streams/index.ts'
export {
  files,
  table,
  sql,
  warn,
  quarantine,
  fail,
  type FileOptions,
  type FilesRef,
  notNull,
  unique,
  between,
  oneOf,
  matches,
  rowCount,
  fresh,
  type Check,
  type Expectation,
  type RowOf,
  type RowsContext,
  type RowsInput,
  type Sql,
  type Table,
  type TableOptions,
} from './lake/index.ts'
export { alert, cel, queue, type Alert, type AlertOptions } from './alerts/index.ts'
export { flow, task, until, type Flow, type FlowOptions, type Ref, type Task, type TaskContext, type TaskOptions } from './flows/index.ts'
export { z } from 'zod'
export { defineConfig, env, type ConfigInput } from './platform/define.ts'
