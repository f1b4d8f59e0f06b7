/** Alerts: what fires now, what has fired, the rules that decide it, and what keeps them quiet. */
import './alerts.css'
import { Button, Tabs } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import { getRouteApi } from '@tanstack/react-router'
import { BellOff } from 'lucide-react'
import { useState } from 'react'
import { recentAlertsQuery, rulesQuery, silencesQuery } from '../../api/index.ts'
import { type AlertTab, alertTabs } from '../../app/search.ts'
import { PageHead } from '../../ui/parts.tsx'
import { useWords } from '../../ui/words/index.tsx'
import { Firing } from './firing.tsx'
import { History } from './history.tsx'
import { Rules } from './rules.tsx'
import { SilenceDialog } from './silence.tsx'
import { Silences } from './silences.tsx'

const route = getRouteApi('/alerts')

export function AlertsScreen() {
  const { say, format } = useWords()
  const { tab = 'firing' } = route.useSearch()
  const navigate = route.useNavigate()
  const firing = useQuery(recentAlertsQuery({ state: 'firing' }, 200))
  const rules = useQuery(rulesQuery)
  const silences = useQuery(silencesQuery)
  // The rule that is asked for, or none yet chosen.
  const [silencing, setSilencing] = useState<{ rule: string | undefined }>()
  const count = rules.data?.items.reduce((sum, rule) => sum + rule.firing, 0) ?? firing.data?.items.length ?? 0
  const quiet = silences.data?.items.filter(({ active }) => active).length ?? 0
  const troubled = rules.data?.items.filter(({ problem }) => problem !== undefined).length ?? 0
  const title =
    firing.data === undefined && rules.data === undefined
      ? say('page.alerts')
      : [count === 0 ? say('alerts.title.none') : say('situation.firing', { n: count }), troubled > 0 ? say('alerts.title.troubled', { n: troubled }) : '']
          .filter((part) => part !== '')
          .join(' ')
  const number = (n: number | undefined): string => (n === undefined || n === 0 ? '' : format.number(n))
  const counts: Readonly<Record<AlertTab, string>> = { firing: number(count), history: '', rules: number(rules.data?.items.length), silences: number(quiet) }

  return (
    <>
      <PageHead
        title={title}
        sub={
          rules.data === undefined
            ? undefined
            : [say('alerts.sub', { n: rules.data.items.length }), quiet > 0 ? say('alerts.sub.silent', { n: quiet }) : '']
                .filter((part) => part !== '')
                .join(' ')
        }
        actions={
          rules.data === undefined || rules.data.items.length === 0 ? undefined : (
            <Button leftSection={<BellOff aria-hidden />} onClick={() => setSilencing({ rule: undefined })}>
              {say('silence.rule')}
            </Button>
          )
        }
      />
      <Tabs
        value={tab}
        onChange={(next) => {
          const chosen = alertTabs.find((each) => each === next)
          if (chosen !== undefined) void navigate({ search: chosen === 'firing' ? {} : { tab: chosen }, replace: true })
        }}
        keepMounted={false}
        className="table-tabs"
      >
        <Tabs.List aria-label={say('page.alerts')}>
          {alertTabs.map((each) => (
            <Tabs.Tab key={each} value={each}>
              {say(`alerts.${each}`)} {counts[each] !== '' && <i>{counts[each]}</i>}
            </Tabs.Tab>
          ))}
        </Tabs.List>
        <Tabs.Panel value="firing">
          <Firing alerts={firing} rules={rules.data?.items ?? []} onSilence={(rule) => setSilencing({ rule })} />
        </Tabs.Panel>
        <Tabs.Panel value="history">
          <History rules={rules.data?.items ?? []} />
        </Tabs.Panel>
        <Tabs.Panel value="rules">
          <Rules rules={rules} onSilence={(rule) => setSilencing({ rule })} />
        </Tabs.Panel>
        <Tabs.Panel value="silences">
          <Silences silences={silences} onSilence={() => setSilencing({ rule: undefined })} />
        </Tabs.Panel>
      </Tabs>
      {silencing !== undefined && (
        <SilenceDialog rule={silencing.rule} rules={rules.data?.items.map(({ name }) => name) ?? []} onClose={() => setSilencing(undefined)} />
      )}
    </>
  )
}
