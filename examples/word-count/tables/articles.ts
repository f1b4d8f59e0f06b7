import { table } from 'lagoa'
import { articles as published } from '../streams/articles.ts'

export const articles = table('library.articles', { from: published, description: 'Every text, to count its words' })
