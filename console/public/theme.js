// Sets the colour scheme before the first paint. A file of its own, so that the page needs no inline script and a
// content security policy can stay strict.
;(() => {
  let chosen = 'auto'
  try {
    chosen = localStorage.getItem('lagoa-theme') ?? 'auto'
  } catch {
    // Storage may be blocked; the system's scheme is a good answer then.
  }
  const dark = chosen === 'dark' || (chosen === 'auto' && matchMedia('(prefers-color-scheme: dark)').matches)
  document.documentElement.setAttribute('data-mantine-color-scheme', dark ? 'dark' : 'light')
})()
