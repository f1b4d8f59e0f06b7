/** Wiring: configuration, loading, starting and stopping. */
export { readCatalog } from './catalog.ts'
export { resolveConfig, type Config } from './config.ts'
export { hidePasswords, shownConfig } from './secrets.ts'
export { processEnvironment, settingsFrom, variableFor } from './environment.ts'
export { loadConfigFile, loadProject, type Project } from './loader.ts'
export { openPlatform, type OpenPlatformOptions, type Platform, type PlatformListener } from './platform.ts'
export type { Service } from './services.ts'
export { tryWalls, wallsText } from './walls.ts'
export type { Feed, Pipeline } from './pipeline.ts'
export { localFolder, openOutside, openPlaced } from './places.ts'
export type { Patience } from './engines.ts'
export { runOnce, type OnceSummary } from './once.ts'
export {
  filterOf,
  noStream,
  readLetters,
  readRecords,
  resendLetters,
  resendMended,
  summarizeStreams,
  topicOf,
  type ReadRecord,
  type RecordsRequest,
  type Topic,
} from './records.ts'
export { watchProject } from './watch.ts'
export { aloneOrAsk, serverOf } from './alone.ts'
