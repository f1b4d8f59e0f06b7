/** Mantine's theme, laid over the tokens: components take our colours, radii and 30 px controls. */
import { Button, createTheme, type CSSVariablesResolver, localStorageColorSchemeManager, Tooltip } from '@mantine/core'

export const colourScheme = localStorageColorSchemeManager({ key: 'lagoa-theme' })

export const theme = createTheme({
  fontFamily: 'var(--font)',
  fontFamilyMonospace: 'var(--mono)',
  fontSizes: { xs: '11.5px', sm: '13px', md: '13px', lg: '15px', xl: '19px' },
  lineHeights: { sm: '1.45', md: '1.45' },
  defaultRadius: 7,
  primaryColor: 'lagoa',
  primaryShade: { light: 8, dark: 4 },
  colors: { lagoa: ['#e6f7f5', '#ccebe7', '#a3dad4', '#7cccc3', '#56c9bd', '#2fa89d', '#178a82', '#0a7a74', '#0a6b66', '#07524e'] },
  cursorType: 'pointer',
  respectReducedMotion: true,
  focusRing: 'auto',
  components: {
    Button: Button.extend({
      defaultProps: { variant: 'default', size: 'sm' },
      vars: (_, props) => ({
        root: {
          '--button-height': props.size === 'xs' ? '25px' : '30px',
          '--button-padding-x': props.size === 'xs' ? '8px' : '11px',
          '--button-fz': props.size === 'xs' ? '12px' : '13px',
          ...(props.variant === 'filled' ? { '--button-bg': 'var(--acc)', '--button-hover': 'var(--acc-hover)', '--button-color': 'var(--on-acc)' } : {}),
        },
      }),
    }),
    Tooltip: Tooltip.extend({ defaultProps: { openDelay: 300, withArrow: false, transitionProps: { duration: 100 } } }),
  },
})

const shared = {
  '--mantine-color-body': 'var(--bg)',
  '--mantine-color-text': 'var(--ink)',
  '--mantine-color-dimmed': 'var(--ink3)',
  '--mantine-color-placeholder': 'var(--ink3)',
  '--mantine-color-anchor': 'var(--acc)',
  '--mantine-color-default': 'var(--panel)',
  '--mantine-color-default-hover': 'var(--sunken)',
  '--mantine-color-default-color': 'var(--ink)',
  '--mantine-color-default-border': 'var(--line2)',
  '--mantine-color-error': 'var(--er)',
}

export const cssVariables: CSSVariablesResolver = () => ({ variables: {}, light: shared, dark: shared })
