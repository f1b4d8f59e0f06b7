/** A value as JSON, with a way to copy it. */
import './json.css'
import { CopyButton } from './copy.tsx'
import { useWords } from './words/index.tsx'

/** More is not drawn; what is copied is whole. */
const mostDrawn = 20_000

export function JsonBlock({ title, value }: { title: string; value: unknown }) {
  const { say, format } = useWords()
  const text = JSON.stringify(value, null, 2) ?? 'null'
  return (
    <div className="json-block">
      <div className="json-head">
        <h3>{title}</h3>
        <CopyButton text={text} label={say('record.copy')} />
      </div>
      <pre className="code" tabIndex={0} role="region" aria-label={title}>
        {text.slice(0, mostDrawn)}
      </pre>
      {text.length > mostDrawn && <p className="quiet small">{say('json.cut', { shown: format.number(mostDrawn), all: format.number(text.length) })}</p>}
    </div>
  )
}
