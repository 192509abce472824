/** The steps of a drill as a picture: a bar each, one below the other, on one scale of time. */
import { formatDuration } from '../base/units.ts'

/** A step of a drill; ms from the drill's beginning. */
export interface DrillStep {
  readonly step:
    | 'open archive'
    | 'audit'
    | 'restore'
    | 'open engine'
    | 'verify'
    | 'compare'
    | 'check'
  readonly fromMs: number
  readonly toMs: number
}

const WIDTH = 720
const LABEL_WIDTH = 110
const VALUE_WIDTH = 90
const ROW_HEIGHT = 26
const BAR_HEIGHT = 16
const BAR_GAP = (ROW_HEIGHT - BAR_HEIGHT) / 2
const AXIS_HEIGHT = 22
const BARS_WIDTH = WIDTH - LABEL_WIDTH - VALUE_WIDTH

/** An SVG by itself, on one line, readable on light and dark pages. */
export function timelineSvg(steps: readonly DrillStep[]): string {
  const totalMs = Math.max(1, ...steps.map(({ toMs }) => toMs))
  const height = steps.length * ROW_HEIGHT + AXIS_HEIGHT
  const at = (ms: number): number => Math.round(LABEL_WIDTH + (ms / totalMs) * BARS_WIDTH)
  const bars = steps.map(({ step, fromMs, toMs }, index) => {
    const top = index * ROW_HEIGHT
    const middle = top + ROW_HEIGHT / 2 + 4
    const width = Math.max(2, at(toMs) - at(fromMs))
    return [
      text(0, middle, step),
      `<rect x="${at(fromMs)}" y="${top + BAR_GAP}" width="${width}" height="${BAR_HEIGHT}" rx="3" fill="#3b82f6"/>`,
      text(at(fromMs) + width + 6, middle, formatDuration(toMs - fromMs)),
    ].join('')
  })
  const bottom = steps.length * ROW_HEIGHT + 15
  const end = text(LABEL_WIDTH + BARS_WIDTH - 20, bottom, formatDuration(totalMs))
  const axis = `${text(LABEL_WIDTH, bottom, '0')}${end}`
  const size = `viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}"`
  const title = `Timeline of the drill: ${steps.map(({ step }) => step).join(', ')}`
  return `<svg xmlns="http://www.w3.org/2000/svg" ${size} role="img"><title>${title}</title>${bars.join('')}${axis}</svg>`
}

function text(x: number, y: number, content: string): string {
  return `<text x="${x}" y="${y}" font-family="sans-serif" font-size="12" fill="#6b7280">${content}</text>`
}
