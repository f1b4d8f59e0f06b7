/** Builds the console into `console/dist`, which Lagoa's server serves; in development it calls a running server. */
import { fileURLToPath } from 'node:url'
import react from '@vitejs/plugin-react'
import { defineConfig } from 'vite'

const root = fileURLToPath(new URL('.', import.meta.url))

export default defineConfig({
  root,
  base: '/',
  plugins: [react()],
  // Nothing is inlined: a data: URL would ask for a weaker content security policy.
  build: { outDir: 'dist', emptyOutDir: true, target: 'es2023', reportCompressedSize: true, assetsInlineLimit: 0 },
  server: { port: 5173, proxy: { '/api': { target: 'http://127.0.0.1:8080', changeOrigin: true } } },
})
