import '@fontsource-variable/geist/wght.css'
import '@fontsource-variable/jetbrains-mono/wght.css'
import './ui/mantine.ts'
import './ui/tokens.css'
import './ui/ui.css'
import './app/shell.css'
import { MantineProvider } from '@mantine/core'
import { QueryClient, QueryClientProvider } from '@tanstack/react-query'
import { RouterProvider } from '@tanstack/react-router'
import { StrictMode } from 'react'
import { createRoot } from 'react-dom/client'
import { ApiError, hub, syncCache } from './api/index.ts'
import { router } from './app/router.tsx'
import { colourScheme, cssVariables, theme } from './ui/theme.ts'
import { preferredLanguage, showLanguage, Words } from './ui/words/index.tsx'

const client = new QueryClient({
  defaultOptions: {
    queries: {
      staleTime: 4_000,
      // An answer that says "wrong" or "not there" says so again; only what may pass is asked twice more.
      retry: (count, error) => count < 2 && (!(error instanceof ApiError) || error.status === 0 || error.status >= 502),
      retryDelay: (count) => 400 * 2 ** count,
    },
  },
})

const root = document.getElementById('root')
if (root === null) throw new Error('The page has no #root element to draw in.')
await showLanguage(preferredLanguage())
syncCache(client, hub)
hub.start()
createRoot(root).render(
  <StrictMode>
    <MantineProvider theme={theme} cssVariablesResolver={cssVariables} colorSchemeManager={colourScheme} defaultColorScheme="auto">
      <QueryClientProvider client={client}>
        <Words>
          <RouterProvider router={router} />
        </Words>
      </QueryClientProvider>
    </MantineProvider>
  </StrictMode>,
)
