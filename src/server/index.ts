/** The HTTP face. */
export { openDoor, probeDoor, type Door } from './door.ts'
export { startServer, type Server } from './server.ts'
