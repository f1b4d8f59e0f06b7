/** The HTTP face. */
export { startServer, type Server } from './server.ts'
