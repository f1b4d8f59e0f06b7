/** Processing of data sets by users' Python: what stands behind `POST /process`. */
export { openProcessing, type Processed, type Processing, type ProcessRequest } from './processing.ts'
