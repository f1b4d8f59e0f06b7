/** What a project's tests import from 'lagoa/testing'. */
export { openLab, type Lab, type LabAlert, type LabOptions, type LabRun, type LabTask } from './lab.ts'
