import type { ServiceShape } from '../../api/index.ts'
import { useWords } from '../../ui/words/index.tsx'
import { bars } from './bars.ts'

const width = 5
const height = 26

/** The latencies of the last five minutes as bars; where there was no answer, a full bar with a gap in it. */
export function History({ values }: { values: ServiceShape['history'] }) {
  const { say } = useWords()
  if (values.length === 0) return <span className="quiet small">{say('health.history.none')}</span>
  const missed = values.filter((value) => value === null).length
  return (
    <svg
      className="engine-history"
      viewBox={`0 0 ${60 * width} ${height}`}
      preserveAspectRatio="none"
      role="img"
      aria-label={say(missed === 0 ? 'health.history' : 'health.history.missed', { n: values.length, missed })}
    >
      {bars(values, height).map(({ place, top, missed: isMissed }) =>
        isMissed ? (
          <path key={place} d={`M${place * width} 0h${width - 1}v10h-${width - 1}zM${place * width} 14h${width - 1}v12h-${width - 1}z`} fill="var(--erf)" />
        ) : (
          <rect key={place} x={place * width} y={top} width={width - 1} height={height - top} fill="var(--c1)" opacity={0.7} />
        ),
      )}
    </svg>
  )
}
