import { defineConfig } from 'lagoa'

export default defineConfig({ title: 'Word count' })
