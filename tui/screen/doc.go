// Package screen is the surface that the console is drawn on: a grid of cells
// of a fixed size. Everything is drawn into rectangles that clip, so that a
// frame is exactly as wide and as high as the terminal, whatever is drawn and
// whatever it contains. A cell has a role, never a colour; a theme turns the
// roles into escape sequences when the frame is encoded.
//
// Nothing here is safe for concurrent use.
package screen
