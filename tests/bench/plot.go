package main

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"math"
	"strconv"
)

// plot is a chart of lines.
type plot struct {
	Title, X, Y string
	LogX, LogY  bool
	Lines       []line
}

type line struct {
	Name   string
	Points []point
}

type point [2]float64

// The size of a plot, and its margins.
const (
	plotWidth, plotHeight                    = 760, 380
	plotLeft, plotRight, plotTop, plotBottom = 80, 210, 40, 50
)

// Colours that people who see fewer of them can tell apart (Okabe and Ito), readable on white and on black.
var colours = []string{"#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9"}

// svg draws the plot.
func (p plot) svg() []byte {
	low, high := point{math.Inf(1), math.Inf(1)}, point{math.Inf(-1), math.Inf(-1)}
	for _, l := range p.Lines {
		for _, at := range l.Points {
			for i := range at {
				low[i], high[i] = min(low[i], at[i]), max(high[i], at[i])
			}
		}
	}
	x := newAxis(low[0], high[0], p.LogX, plotLeft, plotWidth-plotRight)
	y := newAxis(low[1], high[1], p.LogY, plotHeight-plotBottom, plotTop)
	if !p.LogY {
		y = newAxis(0, high[1]*1.05, false, plotHeight-plotBottom, plotTop)
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="13" fill="#808080">`+"\n", plotWidth, plotHeight)
	text := func(x, y float64, anchor, s string) {
		fmt.Fprintf(&b, `<text x="%.1f" y="%.1f" text-anchor="%s">`, x, y, anchor)
		_ = xml.EscapeText(&b, []byte(s))
		b.WriteString("</text>\n")
	}
	text(plotLeft, 22, "start", p.Title)
	text((plotLeft+plotWidth-plotRight)/2, plotHeight-10, "middle", p.X)
	text(plotLeft-8, plotTop-6, "end", p.Y)
	for _, v := range x.ticks() {
		fmt.Fprintf(&b, `<path d="M%.1f %dV%d" stroke="#808080" stroke-opacity=".3"/>`+"\n", x.at(v), plotTop, plotHeight-plotBottom)
		text(x.at(v), plotHeight-plotBottom+18, "middle", number(v))
	}
	for _, v := range y.ticks() {
		fmt.Fprintf(&b, `<path d="M%d %.1fH%d" stroke="#808080" stroke-opacity=".3"/>`+"\n", plotLeft, y.at(v), plotWidth-plotRight)
		text(plotLeft-8, y.at(v)+4, "end", number(v))
	}
	for i, l := range p.Lines {
		colour := colours[i%len(colours)]
		fmt.Fprintf(&b, `<path fill="none" stroke="%s" stroke-width="2" d="`, colour)
		for j, at := range l.Points {
			c := "L"
			if j == 0 {
				c = "M"
			}
			fmt.Fprintf(&b, "%s%.1f %.1f", c, x.at(at[0]), y.at(at[1]))
		}
		b.WriteString(`"/>` + "\n")
		for _, at := range l.Points {
			fmt.Fprintf(&b, `<circle cx="%.1f" cy="%.1f" r="3" fill="%s"/>`+"\n", x.at(at[0]), y.at(at[1]), colour)
		}
		row := float64(plotTop + 10 + 22*i)
		fmt.Fprintf(&b, `<path d="M%d %.1fh16" stroke="%s" stroke-width="3"/>`+"\n", plotWidth-plotRight+12, row, colour)
		text(float64(plotWidth-plotRight+34), row+4, "start", l.Name)
	}
	b.WriteString("</svg>\n")
	return b.Bytes()
}

// axis leads from values to places.
type axis struct {
	low, high  float64
	log        bool
	begin, end float64
}

func newAxis(low, high float64, log bool, begin, end float64) axis {
	if log {
		low, high = math.Log10(low), math.Log10(high)
	}
	if low >= high {
		low, high = low-0.5, low+0.5
	}
	return axis{low, high, log, begin, end}
}

func (a axis) at(v float64) float64 {
	if a.log {
		v = math.Log10(v)
	}
	return a.begin + (v-a.low)/(a.high-a.low)*(a.end-a.begin)
}

// ticks are the round values on the axis.
func (a axis) ticks() (list []float64) {
	if a.log {
		for _, digits := range [][]float64{{1}, {1, 3}, {1, 2, 4, 8}} {
			list = list[:0]
			for e := math.Floor(a.low); e <= a.high; e++ {
				for _, d := range digits {
					if v := d * math.Pow(10, e); math.Log10(v) >= a.low-1e-9 && math.Log10(v) <= a.high+1e-9 {
						list = append(list, v)
					}
				}
			}
			if len(list) >= 3 {
				break
			}
		}
		return list
	}
	step := math.Pow(10, math.Floor(math.Log10(a.high-a.low)))
	for (a.high-a.low)/step < 4 {
		step /= 2
	}
	for v := math.Ceil(a.low/step) * step; v <= a.high; v += step {
		list = append(list, v)
	}
	return list
}

func number(v float64) string {
	switch {
	case v >= 1e6:
		return strconv.FormatFloat(v/1e6, 'g', 4, 64) + "M"
	case v >= 1e4:
		return strconv.FormatFloat(v/1e3, 'g', 4, 64) + "k"
	}
	return strconv.FormatFloat(v, 'g', 4, 64)
}
