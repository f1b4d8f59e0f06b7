/** The frame around every screen: navigation, engine facts, breadcrumb, search, theme, language, connection. */
import { ActionIcon, Button, Drawer, Popover, useMantineColorScheme } from '@mantine/core'
import { useHotkeys } from '@mantine/hooks'
import { useQuery } from '@tanstack/react-query'
import { Link, Outlet, useLocation } from '@tanstack/react-router'
import { Languages, type LucideIcon, Menu as MenuIcon, Monitor, Moon, Search, Sun } from 'lucide-react'
import { lazy, Suspense, useEffect, useRef, useState, useSyncExternalStore } from 'react'
import { flowsQuery, hub, overviewQuery, streamsQuery, systemQuery, tablesQuery } from '../api/index.ts'
import { useNow } from '../ui/now.ts'
import { Choice, Mark, type Option, PageHead } from '../ui/parts.tsx'
import { Empty } from '../ui/states.tsx'
import { Toasts } from '../ui/toasts.tsx'
import { type Language, showLanguage, useWords } from '../ui/words/index.tsx'
import { crumbs } from './crumbs.ts'
import { pageGroups } from './pages.ts'

const Palette = lazy(() => import('./palette.tsx'))

export function Shell() {
  const { say } = useWords()
  const [searching, setSearching] = useState(false)
  const [drawer, setDrawer] = useState(false)
  const { pathname } = useLocation()
  const main = useRef<HTMLElement>(null)
  const before = useRef(pathname)
  useHotkeys([['mod+K', () => setSearching((open) => !open)]], [])

  // A new screen begins at its top, and the drawer that led there has done its work.
  useEffect(() => {
    if (before.current === pathname) return
    before.current = pathname
    setDrawer(false)
    main.current?.scrollTo(0, 0)
  }, [pathname])

  return (
    <div className="app">
      <a className="skip" href="#content">
        {say('shell.skip')}
      </a>
      <aside className="side" aria-label={say('shell.sidebar')}>
        <Sidebar />
      </aside>
      <div className="main">
        <header className="top">
          <ActionIcon
            className="menu-button"
            variant="subtle"
            color="gray"
            size={30}
            aria-label={say('shell.menu')}
            aria-expanded={drawer}
            onClick={() => setDrawer(true)}
          >
            <MenuIcon />
          </ActionIcon>
          <Crumbs />
          <Connection />
          <button type="button" className="command" aria-keyshortcuts="Control+K" onClick={() => setSearching(true)}>
            <Search aria-hidden />
            <span>{say('palette.open')}</span>
            <kbd aria-hidden>Ctrl K</kbd>
          </button>
          <LanguageMenu />
          <ThemeMenu />
        </header>
        <main className="body" id="content" tabIndex={-1} ref={main}>
          <Outlet />
        </main>
      </div>
      <Drawer.Root opened={drawer} onClose={() => setDrawer(false)} size={236}>
        <Drawer.Overlay />
        <Drawer.Content aria-label={say('shell.sidebar')}>
          <Drawer.Body p="10px 8px" h="100%">
            <Sidebar />
          </Drawer.Body>
        </Drawer.Content>
      </Drawer.Root>
      {searching && (
        <Suspense>
          <Palette onClose={() => setSearching(false)} />
        </Suspense>
      )}
      <Toasts />
    </div>
  )
}

function Sidebar() {
  const { say, format } = useWords()
  const system = useQuery(systemQuery).data
  const tables = useQuery(tablesQuery).data
  const streams = useQuery(streamsQuery).data
  const flows = useQuery({ ...flowsQuery, refetchInterval: 60_000 }).data
  const firing = useQuery(overviewQuery).data?.alerts.firing ?? 0
  const down = system?.services.filter(({ state }) => state === 'down').length ?? 0
  const now = useNow(30_000)
  const counts: Readonly<Record<string, number | undefined>> = {
    '/lake': tables?.items.length,
    '/streams': streams?.items.length,
    '/flows': flows?.items.length,
    '/live': streams?.items.filter((each) => each.live !== undefined).length,
  }
  return (
    <div className="side-inner">
      <div className="brand">
        <Logo />
        Lagoa
        {system !== undefined && <small>{system.version}</small>}
      </div>
      <nav className="nav" aria-label={say('shell.navigation')}>
        {pageGroups.map((group) => (
          <div key={group.title ?? 'first'}>
            {group.title !== undefined && <h2>{say(group.title)}</h2>}
            {group.pages.map((page) => {
              const count = counts[page.to]
              return (
                <Link key={page.to} to={page.to} activeOptions={{ exact: page.to === '/', includeSearch: false }}>
                  <page.icon aria-hidden />
                  {say(page.title)}
                  {page.to === '/alerts' && firing > 0 && (
                    <b className="firing">
                      {format.number(firing)}
                      <span className="unseen"> {say('alerts.firing.word')}</span>
                    </b>
                  )}
                  {page.to === '/health' && down > 0 && <b className="firing">{say('services.down', { n: down })}</b>}
                  {count !== undefined && count > 0 && <b>{format.number(count)}</b>}
                </Link>
              )
            })}
          </div>
        ))}
      </nav>
      {system !== undefined && (
        <dl className="engine">
          <div>
            <dt>{say('shell.engine')}</dt>
            <dd>{say(`mode.${system.mode}`)}</dd>
          </div>
          <div>
            <dt>{say('shell.memory')}</dt>
            <dd>{format.bytes(system.memoryBytes)}</dd>
          </div>
          <div>
            <dt>{say('shell.uptime')}</dt>
            <dd>{format.duration(now - system.startedAt)}</dd>
          </div>
        </dl>
      )}
    </div>
  )
}

function Logo() {
  return (
    <svg width="24" height="24" viewBox="0 0 24 24" aria-hidden>
      <rect width="24" height="24" rx="6.5" fill="var(--acc)" />
      <g fill="none" strokeWidth="2" strokeLinecap="round">
        <path d="M5 8.6q3.5-2.8 7 0t7 0" stroke="var(--bzf)" />
        <path d="M5 12.6q3.5-2.8 7 0t7 0" stroke="#e8eef1" />
        <path d="M5 16.6q3.5-2.8 7 0t7 0" stroke="var(--gdf)" />
      </g>
    </svg>
  )
}

function Crumbs() {
  const { say } = useWords()
  const { pathname } = useLocation()
  const parts = crumbs(pathname)
  return (
    <nav className="crumbs" aria-label={say('shell.breadcrumb')}>
      <ol>
        {parts.map((part, i) => {
          const label = part.page === undefined ? part.label : say(part.page)
          const last = i === parts.length - 1
          return (
            <li key={`${i}${part.label}`}>
              {last || part.to === undefined ? (
                <span {...(last ? { 'aria-current': 'page', className: 'here' } : {})}>{label}</span>
              ) : (
                <Link to={part.to} activeOptions={{ exact: true, includeSearch: true }} {...(part.tier === undefined ? {} : { search: { tier: part.tier } })}>
                  {label}
                </Link>
              )}
            </li>
          )
        })}
      </ol>
    </nav>
  )
}

function Connection() {
  const { say } = useWords()
  const state = useSyncExternalStore(hub.onState, hub.state)
  const now = useNow()
  if (state.is === 'waiting')
    return (
      <div className="connection" role="status">
        <Mark tone="bad" label={say('connection.lost')} />
        <span>{say('connection.retry', { seconds: Math.max(0, Math.ceil((state.until - now) / 1000)) })}</span>
        <Button size="xs" onClick={hub.retryNow}>
          {say('connection.now')}
        </Button>
      </div>
    )
  return (
    <div className="connection">
      <Mark tone={state.is === 'open' ? 'ok' : 'run'} label={say(state.is === 'open' ? 'connection.open' : 'connection.opening')} />
      <span aria-hidden>{say(state.is === 'open' ? 'connection.open' : 'connection.opening')}</span>
    </div>
  )
}

const languages: readonly Option<Language>[] = [
  { value: 'pt-BR', label: 'Português (Brasil)' },
  { value: 'en', label: 'English' },
]

function LanguageMenu() {
  const { say, language } = useWords()
  return <Setting label={say('shell.language')} icon={Languages} options={languages} value={language} onChange={(next) => void showLanguage(next)} />
}

const schemeIcons = { light: Sun, dark: Moon, auto: Monitor }

function ThemeMenu() {
  const { say } = useWords()
  const { colorScheme, setColorScheme } = useMantineColorScheme()
  const options = (['light', 'dark', 'auto'] as const).map((value) => ({ value, label: say(`theme.${value}`) }))
  return <Setting label={say('shell.theme')} icon={schemeIcons[colorScheme]} options={options} value={colorScheme} onChange={setColorScheme} />
}

/** A button that opens a few radio buttons; what is chosen takes effect at once, so it can be tried with the arrow keys. */
function Setting<T extends string>({
  label,
  icon: Icon,
  options,
  value,
  onChange,
}: {
  label: string
  icon: LucideIcon
  options: readonly Option<T>[]
  value: T
  onChange: (value: T) => void
}) {
  const [open, setOpen] = useState(false)
  return (
    <Popover opened={open} onChange={setOpen} position="bottom-end" trapFocus returnFocus>
      <Popover.Target>
        <ActionIcon variant="default" size={30} aria-label={label} aria-expanded={open} onClick={() => setOpen(!open)}>
          <Icon />
        </ActionIcon>
      </Popover.Target>
      <Popover.Dropdown p={4} aria-label={label}>
        <Choice label={label} options={options} value={value} onChange={onChange} stacked />
      </Popover.Dropdown>
    </Popover>
  )
}

export function NotFound() {
  const { say } = useWords()
  return (
    <>
      <PageHead title={say('notFound.title')} />
      <div className="panel">
        <Empty
          title={say('notFound.what')}
          actions={
            <Link to="/" className="action-link">
              {say('notFound.back')}
            </Link>
          }
        >
          {say('notFound.text')}
        </Empty>
      </div>
    </>
  )
}
