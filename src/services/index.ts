/** Real engines on this machine for development: started in the background, told about, stopped. */
export { thisMachine, type Machine } from './machine.ts'
export { servicesNow, startServices, stopServices, variablesFor, type Progress, type ServicesOptions, type ServiceState, type ServiceView } from './services.ts'
